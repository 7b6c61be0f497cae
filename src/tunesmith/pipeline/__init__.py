"""The whole job, a step at a time: prepare, baseline, train, evaluate, report. What is done is not done again."""
