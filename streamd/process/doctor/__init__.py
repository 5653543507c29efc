"""``streamd doctor``: looks at the machine as the server would meet it, and says what to do.

Nothing is changed: no file is made, no database migrated, and a port that is free is free afterwards. A bucket is given
an object, which is deleted again: nothing less shows that it takes one.
"""

from __future__ import annotations

from streamd.process.doctor.check_result import CheckResult, Verdict
from streamd.process.doctor.examine import examine

__all__ = ["CheckResult", "Verdict", "examine"]
