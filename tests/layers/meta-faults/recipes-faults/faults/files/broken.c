int answer(void)
{
	return nonsense;
}
