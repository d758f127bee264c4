"""
Makes a machine as wished, with pyinfra's own operations; run by ``pyinfra`` in its environment.

The wish is a JSON file that ``host.data.wish`` names.
"""

import json
from io import StringIO

from pyinfra import host
from pyinfra.operations import files, server
from pyinfra.operations.util import any_changed

with open(host.data.wish) as stream:
    wish = json.load(stream)

template = files.put(
    src=StringIO(wish["template"]["content"]), dest=wish["template"]["path"], mode=644
)
files.directory(path=wish["env_dir"], mode=700)
for one in wish["directories"]:
    files.directory(path=one["path"], user=one["owner"], group=one["owner"], mode=one["mode"])

drop_ins, environments = [], []
for one in wish["servers"]:
    drop_ins.append(
        files.put(src=StringIO(one["drop_in"]["content"]), dest=one["drop_in"]["path"], mode=644)
    )
    environments.append(
        files.put(src=StringIO(one["env"]["content"]), dest=one["env"]["path"], mode=600)
    )
    files.put(src=StringIO(one["app"]["content"]), dest=one["app"]["path"], mode=644)

units = " ".join(wish["units"])
# One call for all: an operation a unit would be a reload a unit. Enabling reloads as well.
server.shell(
    name="enable and start",
    commands=[f"systemctl enable --quiet --now {units}"],
    _if=any_changed(template, *drop_ins),
)
for one, changed in zip(wish["servers"], environments, strict=True):
    server.shell(
        name=f"restart {one['unit']}",
        commands=[f"systemctl restart {one['unit']}"],
        _if=lambda changed=changed: changed.did_change() and not any_changed(*drop_ins)(),
    )
server.shell(name="all run", commands=[f"systemctl is-active --quiet {units}"])
