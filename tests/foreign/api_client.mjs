// The whole life of a project with @neondatabase/api-client; it asks for connections as sdk.mjs does.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { createApiClient } from "@neondatabase/api-client";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function connect(uri) {
  console.log(JSON.stringify({ connect: uri }));
  return JSON.parse((await answers.next()).value);
}

const neon = createApiClient({ apiKey: process.env.NEON_API_KEY, baseURL: process.env.NEON_API_HOST });

async function settled(projectId) {
  for (let looks = 0; looks < 300; looks++) {
    const { operations } = (await neon.listProjectOperations({ projectId })).data;
    if (operations.every((each) => each.status === "finished")) return operations;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail("operations did not finish");
}

const created = (await neon.createProject({ project: { name: "by-the-api-client", pg_version: 17 } })).data;
const projectId = created.project.id;
const branchId = created.branch.id;
await settled(projectId);
await connect(created.connection_uris[0].connection_uri);
const ids = async () => (await neon.listProjects({ limit: 100 })).data.projects.map((each) => each.id);
assert((await ids()).includes(projectId));
assert.equal((await neon.getProject(projectId)).data.project.name, "by-the-api-client");
assert.equal((await neon.updateProject(projectId, { project: { name: "renamed" } })).data.project.name, "renamed");

const asked = { branch: { name: "below" }, endpoints: [{ type: "read_write" }], annotation_value: { a: "b" } };
const below = (await neon.createProjectBranch(projectId, asked)).data;
await settled(projectId);
await connect(below.connection_uris[0].connection_uri);
const listed = (await neon.listProjectBranches({ projectId })).data;
assert.equal(listed.branches.length, 2);
assert.deepEqual(listed.annotations[below.branch.id].value, { a: "b" });

const { role } = (await neon.createProjectBranchRole(projectId, branchId, { role: { name: "second" } })).data;
assert(role.password);
await settled(projectId);
await neon.createProjectBranchDatabase(projectId, branchId, { database: { name: "more", owner_name: "second" } });
await settled(projectId);
assert.equal((await neon.listProjectBranchRoles(projectId, branchId)).data.roles.length, 2);
assert.equal((await neon.listProjectBranchDatabases(projectId, branchId)).data.databases.length, 2);
const named = { projectId, branch_id: branchId, database_name: "more", role_name: "second" };
for (const pooled of [false, true]) {
  await connect((await neon.getConnectionUri({ ...named, pooled })).data.uri);
}

assert((await settled(projectId)).length > 3);
await neon.deleteProjectBranch({ projectId, branchId: below.branch.id });
await settled(projectId);
await neon.deleteProject(projectId);
assert(!(await ids()).includes(projectId));
await assert.rejects(neon.getProject(projectId), (error) => error.response.status === 404);
console.log(JSON.stringify({ lived: projectId }));
process.stdin.destroy();
