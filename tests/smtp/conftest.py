"""Until the rooms below stand, names for what the intake imports."""

import importlib.util
import sys
from types import ModuleType

for missing, names in {
    "gatepost.message.mail": ("Mail", "Opener"),
    "gatepost.mta.queue": ("Queue",),
}.items():
    if importlib.util.find_spec(missing) is None:
        module = ModuleType(missing)
        for name in names:
            setattr(module, name, object)
        sys.modules[missing] = module
