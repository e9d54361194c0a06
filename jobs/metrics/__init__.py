"""What `/metrics` tells of the deployment, a module for each of the places where the answer lies."""
