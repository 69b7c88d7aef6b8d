<?php

use App\Models\Entry;
use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    public function up()
    {
        Schema::create('entries', function (Blueprint $table) {
            $table->id();
            $table->string('text');
            $table->timestamps();
        });
        Entry::create(['text' => 'Written by a migration']);
    }

    public function down()
    {
        Schema::dropIfExists('entries');
    }
};
