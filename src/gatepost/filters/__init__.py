"""The questions: one file, one question; a filter states findings and changes nothing."""
