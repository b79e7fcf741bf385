"""`python -m yoctovirt` is the same as `yoctovirt`."""

from yoctovirt.cli import main

if __name__ == "__main__":
    main()
