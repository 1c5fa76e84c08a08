"""HTTP: endpoints, requests, responses and the OpenAPI document."""
