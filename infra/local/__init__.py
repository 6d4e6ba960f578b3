"""A real Kafka and schema registry on loopback, without Docker."""
