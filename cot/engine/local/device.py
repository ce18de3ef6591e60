"""The device of one of several processes on a machine.

In: a device as the user named it, and the process's number. Out: the device that it takes. It loads no model.
"""


def own_device(device: str, local_rank: int) -> str:
    """`cuda:N` for `auto` and `cuda` where there are GPUs, N counting processes; else the device as it is.

    local_rank: number of the process on its machine, from 0. Where there are more processes than GPUs, they share.
    """
    if device not in ("auto", "cuda"):
        return device
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{local_rank % gpus}" if gpus else device
