"""The room that knows from which versions an image is made."""
