"""Pictures of requests on their way to the engine, and the count of what they saved."""
