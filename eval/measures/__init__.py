"""What a completion did beside being right: backtracking by exact replay, reflection phrases, contamination."""
