inherit no-such-class
