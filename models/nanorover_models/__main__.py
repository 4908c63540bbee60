"""``python -m nanorover_models train …`` is ``nanorover model train …``, in the form that torchrun starts."""

import sys

from nanorover.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["model"]
    main()
