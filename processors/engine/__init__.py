"""The pure engine: functions over arrays. No I/O, no clock, no environment, no randomness."""
