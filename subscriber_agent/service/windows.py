"""The agent as a task of Windows' Task Scheduler, from log-on on. Pure. Written after its XML schema (version 1.2, in
the order that it asks for); it has not run on Windows yet.
"""

from __future__ import annotations

import subprocess
from xml.etree import ElementTree as ET

from subscriber_agent.service.definition import Definition, ManagerKind, Service

_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_FOLDER = "catalyst-signals"
# Unlimited: the default ends a task after three days.
_NO_LIMIT = "PT0S"
# In the order of the schema, which the importer insists on.
_SETTINGS: tuple[tuple[str, str], ...] = (
    ("MultipleInstancesPolicy", "IgnoreNew"),
    ("DisallowStartIfOnBatteries", "false"),
    ("StopIfGoingOnBatteries", "false"),
    ("AllowHardTerminate", "true"),
    ("StartWhenAvailable", "true"),
    ("RunOnlyIfNetworkAvailable", "false"),
    ("AllowStartOnDemand", "true"),
    ("Enabled", "true"),
    ("Hidden", "false"),
    ("WakeToRun", "false"),
    ("ExecutionTimeLimit", _NO_LIMIT),
    ("Priority", "5"),  # normal; the default of tasks is below it
)


def definition(service: Service) -> Definition:
    """A task for `schtasks /create /xml`."""
    task = f"\\{_FOLDER}\\{service.name}"
    path = service.home / "AppData" / "Local" / "catalyst-signals" / f"{service.name}.xml"
    # UTF-16 with its mark: the only encoding that every version of schtasks reads.
    content = '<?xml version="1.0" encoding="UTF-16"?>\r\n' + ET.tostring(_task(service), encoding="unicode")
    return Definition(
        ManagerKind.WINDOWS,
        path,
        content.encode("utf-16"),
        begin=(f'schtasks /create /tn "{task}" /xml "{path}"', f'schtasks /run /tn "{task}"'),
        end=(f'schtasks /end /tn "{task}"', f'schtasks /delete /tn "{task}" /f'),
        look=("schtasks", "/query", "/tn", task, "/fo", "list"),
        notes=("It runs while you are logged on. A machine that sleeps receives nothing.",),
    )


def _task(service: Service) -> ET.Element:
    root = ET.Element("Task", {"version": "1.2", "xmlns": _NAMESPACE})
    about = ET.SubElement(root, "RegistrationInfo")
    ET.SubElement(about, "Description").text = f"subscriber-agent of {service.user}"
    trigger = ET.SubElement(ET.SubElement(root, "Triggers"), "LogonTrigger")
    ET.SubElement(trigger, "Enabled").text = "true"
    if service.account:
        ET.SubElement(trigger, "UserId").text = service.account
    principal = ET.SubElement(ET.SubElement(root, "Principals"), "Principal", {"id": "Author"})
    if service.account:
        ET.SubElement(principal, "UserId").text = service.account
    ET.SubElement(principal, "LogonType").text = "InteractiveToken"
    ET.SubElement(principal, "RunLevel").text = "LeastPrivilege"
    settings = ET.SubElement(root, "Settings")
    for name, value in _SETTINGS:
        ET.SubElement(settings, name).text = value
    program, *arguments = service.command("service", "keep")
    action = ET.SubElement(ET.SubElement(root, "Actions", {"Context": "Author"}), "Exec")
    ET.SubElement(action, "Command").text = program
    ET.SubElement(action, "Arguments").text = subprocess.list2cmdline(arguments)
    return root
