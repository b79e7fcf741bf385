int not_there(void);
int main(void) { return not_there(); }
