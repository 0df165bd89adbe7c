"""Language and vision-language models as agents, by way of any OpenAI-compatible chat server."""
