"""The road a mail takes: directory, pipeline, judge, intake, queue, relay."""
