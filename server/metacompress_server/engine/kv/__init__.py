"""Sessions' keys and values in vLLM: its offloading connector with our policy and our disk tier."""
