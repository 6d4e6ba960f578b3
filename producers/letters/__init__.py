"""Dead letters of producers: what could not be parsed, and what can be done with it later."""
