"""Blocks of machine code are counted by executing what decides the control flow.

The kernels' dot products are held against the layer's multiply-accumulates; small functions against loops in Python.
"""

import itertools
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isas import with_isa
from kernels import avx2_target, avxvnni_target, vnni_target
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.assembly import is_dot
from edgedeblur.compile.build import layer_kernels
from edgedeblur.compile.machine_code.code import parallel_body, parse_function
from edgedeblur.compile.machine_code.effects import UnknownControlFlow
from edgedeblur.compile.machine_code.execution import Execution
from edgedeblur.compile.schedules.schedule import channel_vectors
from edgedeblur.estimate.candidates import kernel_code

ODD = ("add\tx7, x7, #1", "leaq\t1(%r10), %r10")
TARGETS = {
    "avx2": avx2_target(),
    "vnni": vnni_target(),
    "avxvnni": avxvnni_target(),
    **{isa: with_isa(load_target("android"), isa) for isa in ("sdot", "i8mm", "neon")},
}
MACS = {"avx2": 16, "vnni": 64, "avxvnni": 32, "sdot": 16, "i8mm": 32, "neon": 8}  # of one dot product, by the manuals

# for (i = first; i < last; i++) { for (j = 0; j < inner; j++) {...} if (i & 1) ...; }, first and last as TVM cuts tasks
AARCH64 = """
	ldr	w8, [x1, #8]
	mov	w10, #{outer}
	add	w9, w8, w10
	sub	w9, w9, #1
	sdiv	w9, w9, w8
	mul	w8, w9, w0
	add	w9, w9, w8
	cmp	w9, w10
	csel	w9, w9, w10, lt
	str	w9, [sp, #44]
	cmp	w8, w9
	b.ge	.LBB0_5
	sxtw	x22, w8
	str	xzr, [sp, #48]
.LBB0_1:
	mov	x5, x3
	mov	w6, #{inner}
.LBB0_2:
	ldr	q0, [x5], #16
	subs	x6, x6, #1
	b.ne	.LBB0_2
	tbz	w22, #0, .LBB0_4
	add	x7, x7, #1
.LBB0_4:
	ldr	x11, [sp, #48]
	add	x22, x22, x11
	add	x22, x22, #1
	ldr	w8, [sp, #44]
	cmp	w8, w22
	b.ne	.LBB0_1
.LBB0_5:
	ret
"""
X86 = """
	movl	8(%rsi), %esi
	leal	{outer}-1(%rsi), %eax
	cltd
	idivl	%esi
	leal	1(%rdi), %edx
	imull	%eax, %edx
	cmpl	${outer}, %edx
	movl	${outer}, %esi
	cmovll	%edx, %esi
	imull	%edi, %eax
	movl	%esi, 28(%rsp)
	cmpl	%esi, %eax
	jge	.LBB0_5
	movslq	%eax, %r14
.LBB0_1:
	movq	$-{inner}, %r9
.LBB0_2:
	vmovdqu	(%r8,%r9,4), %ymm0
	incq	%r9
	jne	.LBB0_2
	testb	$1, %r14b
	je	.LBB0_4
	leaq	1(%r10), %r10
.LBB0_4:
	incq	%r14
	cmpl	%r14d, 28(%rsp)
	jne	.LBB0_1
.LBB0_5:
	retq
"""


def counted(architecture: str, outer: int, inner: int, task: int, tasks: int):
    """(runs of the inner loop, runs of the odd branch, entries of the inner loop)."""
    text = (AARCH64 if architecture == "aarch64" else X86).format(outer=outer, inner=inner)
    text = text.replace(f"{outer}-1(", f"{outer - 1}(")
    function = parse_function(text.splitlines())
    counts = Execution(function, architecture).task(task, tasks)
    inner_loop = next(header for header, loop in function.loops.items() if len(loop.body) == 1)
    odd = next(i for i, block in enumerate(function.blocks) if block.instructions[0].text in ODD)
    return counts.blocks[inner_loop], counts.blocks[odd], counts.entries[inner_loop]


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
@given(outer=st.integers(1, 40), inner=st.integers(1, 300), tasks=st.integers(1, 50), data=st.data())
def test_loops_run_as_often_as_in_python(architecture, outer, inner, tasks, data):
    task = data.draw(st.integers(0, tasks - 1))
    chunk = -(-outer // tasks)
    rounds = range(task * chunk, min((task + 1) * chunk, outer))
    expected = (len(rounds) * inner, sum(i % 2 for i in rounds), len(rounds))
    assert counted(architecture, outer, inner, task, tasks) == expected


CARRYING = """
	movl	%edi, %eax
	sarl	$31, %eax
	andnl	%edi, %eax, %eax
	cmpl	$3, %edi
	sbbl	$-1, %eax
	addl	$-2, %edi
	cmpl	$1, %edi
	adcl	$1, %eax
.LBB0_1:
	vmovdqu	(%r8), %ymm0
	decl	%eax
	jne	.LBB0_1
	retq
"""


@pytest.mark.parametrize("task", [0, 1, 2, 3, 4, 9])
def test_carries_and_inverted_masks_are_followed(task):
    """max(task, 0), one more where task is not below 3, one more, and another where task is 2."""
    counts = Execution(parse_function(CARRYING.splitlines()), "x86_64").task(task, 10)
    assert max(counts.blocks.values()) == task + (task >= 3) + 1 + (task == 2)


def test_a_branch_on_data_is_not_guessed():
    function = parse_function("\tldrb\tw8, [x3]\n\tcbz\tw8, .LBB0_2\n\tnop\n.LBB0_2:\n\tret".splitlines())
    with pytest.raises(UnknownControlFlow):
        Execution(function, "aarch64").task(0, 1)


@pytest.mark.parametrize("isa", list(TARGETS))
def test_a_kernel_executes_the_dot_products_that_its_layer_needs_however_it_is_cut_into_tasks(isa):
    described = layer_kernels(random_network(tiny_spec()), 64, 96, TARGETS[isa], {})
    compiled = [*zip(described, kernel_code(described, TARGETS[isa]), strict=True)]
    for (kernel, lines), tasks in itertools.product(compiled, (1, 3, 16)):
        if kernel.schedule.method != "direct":
            continue
        function = parallel_body(lines)
        dots = [sum(is_dot(i.text, kernel.isa) for i in block.instructions) for block in function.blocks]
        execution = Execution(function, TARGETS[isa].architecture)
        total = sum(
            count * dots[block] for task in range(tasks) for block, count in execution.task(task, tasks).blocks.items()
        )
        set_, read = kernel.isa, kernel.layer.in_channels
        each = min(set_.step, -(-read // set_.group) * set_.group)  # of a load only what holds channels is multiplied
        channels = kernel.layer.kernel**2 * (set_.padded_channels(read) // set_.step) * each
        outputs = channel_vectors(kernel.layer, kernel.isa) * kernel.isa.lanes
        assert total * MACS[isa] == channels * outputs * prod(kernel.layer.out_size), (kernel.layer.name, tasks)
