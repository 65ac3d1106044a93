"""Triton's kernels as Ops. Importing this imports Triton."""

from . import attention, gather, selection


class TritonOps:
    """The accelerator's kernels (ops.Ops); on CPU tensors they run under Triton's interpreter alone."""

    reads_leaves = True
    shared_context_attention = staticmethod(attention.shared_context_attention)
    select = staticmethod(selection.select)
    live_children = staticmethod(gather.live_children)
