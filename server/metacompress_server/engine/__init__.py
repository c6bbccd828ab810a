"""Everything that touches vLLM: the compressing model, its processor, the executor, HTTP hooks."""
