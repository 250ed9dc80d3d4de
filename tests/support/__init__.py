"""What the tests of several rooms share, each file under the name of what it is."""
