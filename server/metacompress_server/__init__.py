"""Serves compressed pictures over the OpenAI API: launcher, HTTP, metrics, vLLM engine part."""
