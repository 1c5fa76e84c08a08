// Connects with node-postgres to the URI in PG_URI, and prints who connected, or the error's message.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.PG_URI });
try {
  await client.connect();
  const { rows } = await client.query("SELECT current_user AS role, current_database() AS database");
  console.log(JSON.stringify(rows[0]));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
} finally {
  await client.end();
}
