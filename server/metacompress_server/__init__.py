"""Serves compressed pictures over OpenAI's API: launcher, HTTP surface, metrics, vLLM engine part."""
