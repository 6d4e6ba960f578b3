"""The study: does the score know anything? Episodes of stored sessions against controls, baselines and costs."""
