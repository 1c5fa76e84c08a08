"""The soak: real processes that are killed, paused and cut off at random for minutes, and then looked over.

Everything is real: two API processes, three daemons, a Postgres as catalog, and local Neon over sockets with a Postgres
behind it. ``python -m tests.soak --seed N --seconds S`` runs one, and writes ``build/soak.json``.

    schedule    what happens when, all from one seed. Pure
    faults      what may become of a request to Neon. Pure
    proxy       does it, on real sockets
    traffic     what came by, and what of it reached Neon
    zygote      a warmed process from which the product's commands are forked
    household   keeps them running: kills, pauses, stops, starts again
    catalog     the catalog's Postgres, which is stopped and killed too
    clients     people who ask for apps, look at them and delete them; they remember what was acknowledged
    console     people who meddle with projects at Neon
    chaos       carries out what the schedule says
    doors       connects to every app at the end
    judge       compares Neon, the catalog and the clients' memory
    run         puts it together
"""
