"""`python -m hosts.box`: serve every endpoint of api/ here."""

import sys

from hosts.box.server import main

if __name__ == "__main__":
    sys.exit(main())
