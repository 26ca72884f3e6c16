"""AWS Lambda: the handlers, the server of the streaming functions, the build of their zips."""
