"""Pure functions from events to rows; they know neither Kafka nor faust."""
