"""The generators of the package reasoning-gym (Apache-2.0), in a process of their own, judged by our graders."""
