"""The commands of docker-compose.yml without containers, and programs of
another architecture. Nothing here needs a container engine."""
