"""An acceptance suite for the real Neon: one project's whole life, and what the table of behaviors assumes.

``NEON_API_KEY=… MORPHIK_LIVE_ORG_ID=org-… pytest -m live`` makes one project in that organization and deletes it. The
same walk goes over local Neon in the ordinary tests.
"""
