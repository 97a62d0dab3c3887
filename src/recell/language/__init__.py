"""What a cell may say: symbolic values, tracing, the `@cell` decorator and its checks."""
