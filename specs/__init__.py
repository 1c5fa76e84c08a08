"""The language of Morphik Apps: what may be asked for, and what is said about it. Pure; imports nothing of ours.

Terms, as the rest of the code uses them:

desired state       what an app's owner asked for; the API writes it
observed state      what the loop last saw; the reconciler writes it
generation          counts changes of the desired state; ``observed_generation`` says which one the status speaks of
incarnation         counts the projects that an app had one after another; 1 unless a person recreates a lost app
reconcile           one pass over one app: observe, compare, at most one change, record
lease, fencing token  the right to work on an app for a while, and the number that makes a late writer harmless
intent              the committed wish to create, with its nonce, from before the request is sent
mark                what proves a project ours: its name and the annotations of its default branch
adopt               record a project that an unknown outcome left behind and that is proven ours
drift               a difference between desired and observed state that nobody asked for
surplus             a second project of ours for one app; never published, swept
orphan              a project of ours that no row names; reported, never touched
tombstone           what is left of a deleted app until nobody can bring its project back
condition           one statement about an app, with a reason that a person can act on
"""
