class CreateEntries < ActiveRecord::Migration[6.1]
  def up
    create_table(:entries) { |table| table.string :text, null: false }
    execute "INSERT INTO entries (text) VALUES ('Written by a migration')"
  end

  def down
    drop_table :entries
  end
end
