"""The HTTP API: routes, bodies of requests and answers, content negotiation, problem documents."""
