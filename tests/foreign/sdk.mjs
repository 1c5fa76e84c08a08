// The whole life of a project with @neon/sdk. A line {"connect": uri} on stdout asks for a connection, and what came
// of it is read from stdin; the last line is {"lived": id}.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { createNeonClient } from "@neon/sdk";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function connect(uri) {
  console.log(JSON.stringify({ connect: uri }));
  return JSON.parse((await answers.next()).value);
}

const neon = createNeonClient({
  apiKey: process.env.NEON_API_KEY,
  baseUrl: process.env.NEON_API_HOST,
  throwOnError: true,
  waitForReadiness: true,
  requestTimeoutMs: 30_000,
  wait: { pollIntervalMs: 100, timeoutMs: 60_000 },
});

const [organization] = await neon.user.organizations();
const { project, connectionString } = await neon.projects.createAndConnect({
  name: "by-the-sdk",
  org_id: organization.id,
  region_id: "aws-us-east-2",
  pg_version: 17,
  pooled: false,
});
const projectId = project.id;
await connect(connectionString);
const ids = async (query) => (await neon.projects.list(query).all()).map((each) => each.id);
assert((await ids({ search: "by-the-sdk" })).includes(projectId));
assert.equal((await neon.projects.get({ projectId })).name, "by-the-sdk");
assert.equal((await neon.projects.update({ projectId, name: "renamed" })).name, "renamed");

const main = await neon.branches.getDefault({ projectId });
const below = await neon.branches.createAndConnect({ projectId, name: "below", pooled: false });
await connect(below.connectionString);
const names = (await neon.branches.list({ projectId }).all()).map((each) => each.name);
assert.deepEqual(names.sort(), ["below", "main"]);
assert.equal((await neon.branches.get({ projectId, branchId: below.branch.id })).parent_id, main.id);
assert.equal((await neon.postgres.endpoints.list({ projectId })).length, 2);

const branchId = main.id;
const role = await neon.postgres.roles.create({ projectId, branchId, name: "second" });
assert(role.password);
await neon.postgres.databases.create({ projectId, branchId, name: "more", owner_name: "second" });
assert.equal((await neon.postgres.roles.list({ projectId, branchId })).length, 2);
assert.equal((await neon.postgres.databases.list({ projectId, branchId })).length, 2);
assert.equal(await neon.postgres.roles.password({ projectId, branchId, roleName: "second" }), role.password);
for (const pooled of [false, true]) {
  await connect(
    await neon.postgres.connectionString({ projectId, databaseName: "more", roleName: "second", pooled }),
  );
}

const operations = await neon.operations.list({ projectId }).all();
assert(operations.length > 3 && operations.every((each) => each.status === "finished"));
await neon.branches.delete({ projectId, branchId: below.branch.id });
await neon.projects.delete({ projectId });
assert(!(await ids({})).includes(projectId));
const { error } = await neon.projects.get({ projectId }, { throwOnError: false });
assert.equal(error.kind, "not_found");
console.log(JSON.stringify({ lived: projectId }));
process.stdin.destroy();
