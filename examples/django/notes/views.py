from django.db import connection
from django.http import HttpResponse
from django.shortcuts import render

from .models import Note


def notes(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return render(request, "notes.html", {"notes": Note.objects.order_by("id")})


def health(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
