from pathlib import Path

import pytest

# An assertion of a harness shows its values, too.
pytest.register_assert_rewrite(
    *(f"{__name__}.{found.parent.name}" for found in Path(__file__).parent.glob("*/__init__.py"))
)
