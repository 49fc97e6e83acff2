"""The caller's side: what the two root programs share. Needs requests, tqdm and the standard library only."""
