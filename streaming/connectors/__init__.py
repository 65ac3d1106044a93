"""What feeds source topics from outside: a weather service, a file of readings."""
