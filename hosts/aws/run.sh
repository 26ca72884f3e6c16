#!/bin/sh
# One streaming function on AWS Lambda. The Lambda Web Adapter starts this file in place of Python's own runtime
# client, waits until its port is open, and hands every invocation on to it as HTTP, one at a time.
# ENDPOINT is the file of api/ (serverless.yml); AWS_LWA_PORT is the adapter's.
cd "${LAMBDA_TASK_ROOT:?}" || exit 1
# exec: the SIGTERM at the end of the environment reaches the server itself.
exec python3 -m hosts.aws.stream_server "${ENDPOINT:?}" "${AWS_LWA_PORT:?}"
