"""Documents: every file of a runs folder as a frozen type, and the address of a stage. Torch is not imported.

    constants   versions, and the closed lists of kinds, groups, axes and phases
    base        what all documents have in common; reading and writing their files
    cost        what work cost, by phase
    metric      what a metric is, and a point of a learning curve
    subject     what is measured: a method on a target and a task, a cell, a cell that cannot exist
    stage       config.json: a stage's configuration, its execution and its address
    provenance  where a record comes from
    record      result.json and failed.json
    sweep       the sweep that a plan is a part of: trials, and what is selected by them
    manifest    plans/*.json: what a run intended
    progress    progress.json: how far a stage is
    owner       owner-NUMBER.json: the process that computes a stage
    leaderboard records.jsonl, plans.jsonl: the stages and plans of a leaderboard, a line each
    rerun       reruns.jsonl: who has computed a cell of a leaderboard once more

These types are the only writers and readers of the files.
"""
