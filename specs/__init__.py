"""The types of Morphik Apps: requests, the app row, its status, settings. Pure; imports no other package of it.

Terms, as the rest of the code uses them:

desired state       the app's spec, and whether it exists; the API writes it
observed state      the state at the last reconcile; the reconciler writes it
generation          counts changes of the desired state; ``observed_generation`` is the one that the status describes
incarnation         counts the successive projects of an app; 1 unless an operator recreates a lost app
reconcile           one run over one app: observe, compare, send at most one mutation, record
lease, fencing token  the exclusive, time-limited right to work on an app, and the number that rejects late writes
intent              the record of a create and its nonce, committed before the request is sent
annotations         with the project's name they verify its ownership; the default branch carries them
adopt               record a project that a create of unknown outcome made, after its ownership is verified
drift               a difference between desired and observed state that no change of the spec explains
duplicate           a second owned project for one app; never published, deleted by a resync
orphan              an owned project that no row names; reported, never changed
tombstone           the row of a deleted app, until its project can no longer be recovered
condition           one aspect of an app's status, with a reason to act on
"""
