"""A lean start."""

import subprocess
import sys


def test_what_a_library_would_like_to_have_is_hidden_from_it_and_from_nobody_else():
    code = (
        "import sys\n"
        "from cronium_app.cli.serving import absent\n"
        "with absent(('decimal', 'sys')):\n"
        "    import sys as kept\n"
        "    try:\n"
        "        import decimal\n"
        "    except ImportError:\n"
        "        print('absent')\n"
        "import decimal\n"
        "print(decimal.Decimal(1), kept is sys)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["absent", "1", "True"]
