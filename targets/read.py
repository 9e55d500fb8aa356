"""From the tables of a target file to a `Target`: what is required, what is allowed, and what must agree."""

from __future__ import annotations

from hetpart.targets.machine import Machine
from hetpart.targets.schema import (
    COMPUTE_CLASSES,
    HALF_CLASSES,
    INT8_CLASSES,
    MEMORY_CLASSES,
    PROCESSOR_KINDS,
    PUBLISHED_CHIPS,
    PUBLISHED_ENGINES,
    UNTUNED_CLASSES,
    Cache,
    Cluster,
    CostTable,
    CpuCodegen,
    HexagonCodegen,
    KernelLaw,
    Law,
    Link,
    OpenclCodegen,
    Processor,
    Target,
)
from hetpart.targets.table import Table


def read_target(root: Table, name: str, machine: Machine) -> Target:
    """The target in table `root`; the word ``native`` stands for what `machine` has.

    Raises:
        HetpartError: ``bad-target``, naming the key and what is expected there.
    """
    block = root.integer("block", native=machine.lanes)
    tables = root.table("processors")
    processors = tuple(_processor(tables.table(key), key, block, machine) for key in tables)
    if [p.kind == "cpu" for p in processors] != [True] + [False] * (len(processors) - 1):
        raise root.error("processors", "tables of which the first, and only the first, has kind cpu")
    links = _links(root, [p.name for p in processors])
    costed = [p.name for p in processors if p.cost is not None]
    stated = {(link.source, link.target) for link in links}
    for source in costed:
        for target in costed:
            if source != target and (source, target) not in stated:
                raise root.error("links", f"complete: one from {source} to {target} is needed")
    result = Target(
        name=name,
        title=root.text("title"),
        block=block,
        unified_memory=root.flag("unified_memory"),
        processors=processors,
        links=links,
        facts=root.facts("facts"),
    )
    root.close()
    return result


def _processor(table: Table, name: str, block: int, machine: Machine) -> Processor:
    kind = table.choice("kind", PROCESSOR_KINDS)
    processor = Processor(
        name=name,
        kind=kind,
        title=table.text("title"),
        codegen=_codegen(table.table("codegen"), kind, block, machine),
        clusters=tuple(_cluster(cluster) for cluster in table.tables("clusters")),
        threads=table.integer("threads") if "threads" in table else 1,
        core=table.integer("core", minimum=0) if "core" in table else None,
        facts=table.facts("facts"),
        cost=_cost(table.table("cost"), kind, block) if "cost" in table else None,
    )
    private = isinstance(processor.codegen, OpenclCodegen) and processor.codegen.private
    if processor.cost is not None and private and not processor.cost.convert_gb_per_s:
        raise table.table("cost").error("convert_gb_per_s", "the speed of copies between buffers and private memory")
    table.close()
    return processor


def _codegen(table: Table, kind: str, block: int, machine: Machine) -> CpuCodegen | OpenclCodegen | HexagonCodegen:
    codegen: CpuCodegen | OpenclCodegen | HexagonCodegen
    if kind == "cpu":
        codegen = CpuCodegen(
            triples=table.texts("triples"),
            mcpu=table.text("mcpu"),
            mattr=table.texts("mattr"),
            lanes=table.integer("lanes", native=machine.lanes),
            registers=table.integer("registers", native=machine.registers),
            l2_bytes=table.integer("l2_bytes", native=machine.l2_bytes),
        )
        if not codegen.triples:
            raise table.error("triples", "at least one LLVM triple, or native")
        if codegen.lanes != block:
            raise table.error("lanes", f"equal to the target's block ({block})")
    elif kind == "opencl":
        codegen = OpenclCodegen(
            tile_items=table.flag("tile_items"),
            registers=table.integer("registers", native=machine.registers),
            work_group=table.triple("work_group"),
            max_buffer_bytes=table.integer("max_buffer_bytes"),
            memory=table.choice("memory", ("buffer", "image")) if "memory" in table else "buffer",
            storage=table.choice("storage", ("float32", "float16")) if "storage" in table else "float32",
            max_image=table.integer("max_image") if "max_image" in table else 16384,
            max_kernel_us=table.integer("max_kernel_us", minimum=0) if "max_kernel_us" in table else 0,
            local_bytes=table.integer("local_bytes", native=machine.l2_bytes) if "local_bytes" in table else 0,
        )
        if codegen.memory == "image" and block != 4:
            raise table.error("memory", f"buffer: a texel has 4 channels, the target's block {block}")
        if codegen.local_bytes and not codegen.tile_items:
            raise table.error("local_bytes", "left out where tile_items is false: only tile devices use it")
        if codegen.private and codegen.tile_items:
            raise table.error("tile_items", "false where maps lie in images or in float16")
    else:
        codegen = HexagonCodegen(table.text("mcpu"))
    table.close()
    return codegen


def _cluster(table: Table) -> Cluster:
    cluster = Cluster(table.text("name"), table.integer("cores"), table.integer("clock_mhz"))
    table.close()
    return cluster


def _cost(table: Table, kind: str, block: int) -> CostTable:
    law = _kernel_law(table.table("law")) if "law" in table else None
    roofless = law is not None and kind != "cpu"  # hetpart runs untuned code on the CPU alone
    peak_gflops = bandwidth_gb_per_s = 0.0
    if "peak_gflops_per_lane" in table:
        peak_gflops = table.number("peak_gflops_per_lane") * block
    elif not roofless or "peak_gflops" in table:
        peak_gflops = table.number("peak_gflops")
    if not roofless or "bandwidth_gb_per_s" in table:
        bandwidth_gb_per_s = table.number("bandwidth_gb_per_s")
    cost = CostTable(
        launch_us=table.number("launch_us", zero=True),
        peak_gflops=peak_gflops,
        bandwidth_gb_per_s=bandwidth_gb_per_s,
        caches=_caches(table) if law is None else (),
        half_speed_pixels=_half_speed(table) if law is None else {},
        law=law,
        efficiency=_law_shares(table, kind) if law is not None else _roof_shares(table.table("efficiency")),
        shared=_shared(table.table("shared")) if "shared" in table else {},
        convert_gb_per_s=table.number("convert_gb_per_s") if "convert_gb_per_s" in table else 0.0,
        convert_p5_gb_per_s=table.number("convert_p5_gb_per_s") if "convert_p5_gb_per_s" in table else 0.0,
        power_w=table.number("power_w") if "power_w" in table else 0.0,
        contention=table.number("contention") if "contention" in table else 1.0,
        convert_p95_gb_per_s=table.number("convert_p95_gb_per_s") if "convert_p95_gb_per_s" in table else 0.0,
    )
    if cost.contention < 1:
        raise table.error("contention", "a factor of at least 1 on the time of a kernel")
    if not cost.convert_speed("p95") <= cost.convert_gb_per_s <= cost.convert_speed("p5"):
        raise table.error("convert_gb_per_s", "the speed of the median: at most p5's and at least p95's")
    table.close()
    return cost


def _caches(table: Table) -> tuple[Cache, ...]:
    found: list[Cache] = []
    for cache in table.tables("caches"):
        found.append(Cache(cache.integer("bytes"), cache.number("gb_per_s")))
        if len(found) > 1 and found[-1].size_bytes <= found[-2].size_bytes:
            raise cache.error("bytes", f"more than the {found[-2].size_bytes} of the cache before")
        cache.close()
    return tuple(found)


def _half_speed(table: Table) -> dict[str, int]:
    if "half_speed_pixels" not in table:
        return {}
    stated = table.table("half_speed_pixels")
    found = {key: stated.integer(key) for key in COMPUTE_CLASSES if key in stated}
    stated.close()
    return found


def _kernel_law(table: Table) -> KernelLaw:
    others = {key: table.choice(key, PUBLISHED_ENGINES) for key in ("fp16", "int8") if key in table}
    law = KernelLaw(table.choice("chip", PUBLISHED_CHIPS), table.choice("fp32", PUBLISHED_ENGINES), **others)
    table.close()
    return law


def _roof_shares(shares: Table) -> dict[str, float]:
    """Of every class; those in other types are the float32 ones' unless stated."""
    found = {key: shares.share(key) for key in (*COMPUTE_CLASSES, *MEMORY_CLASSES)}
    for key, float32 in (INT8_CLASSES | HALF_CLASSES).items():
        found[key] = shares.share(key if key in shares else float32)
    shares.close()
    return found


def _law_shares(table: Table, kind: str) -> dict[str, float]:
    """What is stated; on a CPU that must be the classes of which the law tells nothing."""
    if kind != "cpu" and "efficiency" not in table:
        return {}
    shares = table.table("efficiency")
    every = (*COMPUTE_CLASSES, *MEMORY_CLASSES, *INT8_CLASSES, *HALF_CLASSES)
    found = {key: shares.share(key) for key in every if key in shares or (kind == "cpu" and key in UNTUNED_CLASSES)}
    shares.close()
    return found


def _shared(table: Table) -> dict[str, float]:
    shared = {key: table.share(key) for key in (*COMPUTE_CLASSES, *MEMORY_CLASSES) if key in table}
    table.close()
    return shared


def _links(root: Table, names: list[str]) -> tuple[Link, ...]:
    links: list[Link] = []
    for table in root.tables("links"):
        source, target = table.choice("source", names), table.choice("target", names)
        if source == target or any((link.source, link.target) == (source, target) for link in links):
            raise table.error("target", "another processor than the source, each pair stated once")
        median = _law(table)
        p5, p95 = (_percentile(table, key) for key in ("p5", "p95"))
        if p5 is not None and not (p5.fixed_us <= median.fixed_us and p5.gb_per_s >= median.gb_per_s):
            raise table.error("p5", "a law of shorter times than the link's own, which is the median's")
        if p95 is not None and not (p95.fixed_us >= median.fixed_us and p95.gb_per_s <= median.gb_per_s):
            raise table.error("p95", "a law of longer times than the link's own, which is the median's")
        links.append(Link(source, target, median.fixed_us, median.gb_per_s, p5, p95))
        table.close()
    return tuple(links)


def _law(table: Table) -> Law:
    return Law(table.number("fixed_us", zero=True), table.number("gb_per_s"))


def _percentile(table: Table, key: str) -> Law | None:
    if key not in table:
        return None
    inner = table.table(key)
    law = _law(inner)
    inner.close()
    return law
