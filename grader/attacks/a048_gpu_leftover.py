"""Reads what the last run left in the memory of a GPU, or stays on it. Held: no job sees a GPU."""

from grader.attacks.case import NotRun

VERDICT = ("ok",)


def attack(case):
    ran = case.run("""
        import glob, os
        devices = glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/kfd") + glob.glob("/dev/dri/render*")
        print(len(devices), "devices, visible:", repr(os.environ.get("CUDA_VISIBLE_DEVICES")))
        for path in devices:
            try: os.close(os.open(path, os.O_RDWR)); print("OPEN", path)
            except OSError: pass
    """)
    case.held("OPEN" not in ran.log and "visible: ''" in ran.log, ran.log)
    raise NotRun("needs a GPU; jobs see none (no device in the sandbox, CUDA_VISIBLE_DEVICES empty), so none is shared")
